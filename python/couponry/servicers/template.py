"""TemplateService."""

# ruff: noqa: N802, ARG002 - names and arguments are those of the generated base

from couponry.coupons.templates import Templates
from couponry.servicers.base import Context, caller_of, rpc
from couponry.v1 import template_pb2 as pb
from couponry.v1.template_pb2_grpc import TemplateServiceServicer

__all__ = ["TemplateServicer"]


class TemplateServicer(TemplateServiceServicer):
    """Each RPC is one use case."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    @rpc
    async def CreateTemplate(self, request: pb.CreateTemplateRequest, context: Context) -> pb.CreateTemplateResponse:
        return await self._templates.create(request, caller_of(context))

    @rpc
    async def GetTemplate(self, request: pb.GetTemplateRequest, context: Context) -> pb.GetTemplateResponse:
        return await self._templates.get(request)

    @rpc
    async def BatchGetTemplates(
        self, request: pb.BatchGetTemplatesRequest, context: Context
    ) -> pb.BatchGetTemplatesResponse:
        return await self._templates.batch_get(request)

    @rpc
    async def UpdateTemplate(self, request: pb.UpdateTemplateRequest, context: Context) -> pb.UpdateTemplateResponse:
        return await self._templates.update(request, caller_of(context))

    @rpc
    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Context) -> pb.ListTemplatesResponse:
        return await self._templates.page(request)

    @rpc
    async def PauseTemplate(self, request: pb.PauseTemplateRequest, context: Context) -> pb.PauseTemplateResponse:
        return await self._templates.pause(request, caller_of(context))

    @rpc
    async def ResumeTemplate(self, request: pb.ResumeTemplateRequest, context: Context) -> pb.ResumeTemplateResponse:
        return await self._templates.resume(request, caller_of(context))

    @rpc
    async def AdjustTotal(self, request: pb.AdjustTotalRequest, context: Context) -> pb.AdjustTotalResponse:
        return await self._templates.adjust_total(request, caller_of(context))
