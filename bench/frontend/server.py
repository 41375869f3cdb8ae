"""The server that the front end's benchmark calls: templates held in L1, and the calls that cost nothing.

Under the native front end GetTemplate is answered inside the extension, as the service does it; under the reference a
servicer reads the same L1.
"""

import sys
import time
from typing import Any

import grpc
import grpc.aio

from couponry._core import L1
from couponry.frontend.native import NativeServer
from couponry.v1 import template_pb2
from tests.conformance import server, servicers

_TEMPLATES = 1000
_SERVICE = "couponry.v1.TemplateService"
_KIND = "template"
_HOUR_MS = 3_600_000


def _handlers(l1: L1) -> dict[str, Any]:
    async def get_template(request: Any, context: Any) -> Any:
        payload = l1.get(_KIND, str(request.template_id))
        if payload is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such template")
        return template_pb2.GetTemplateResponse(template=template_pb2.Template.FromString(payload or b""))

    handler = grpc.unary_unary_rpc_method_handler(
        get_template,
        request_deserializer=template_pb2.GetTemplateRequest.FromString,
        response_serializer=template_pb2.GetTemplateResponse.SerializeToString,
    )
    return {"GetTemplate": handler}


def _add(target: grpc.aio.Server) -> None:
    l1 = L1({_KIND: 64 << 20})
    for number in range(1, _TEMPLATES + 1):
        template = template_pb2.Template(
            template_id=number, spec=template_pb2.TemplateSpec(name=f"Ten off, number {number}")
        )
        l1.put(_KIND, str(number), template.SerializeToString(), time.time_ns() // 1_000_000 + _HOUR_MS)
    target.add_registered_method_handlers(_SERVICE, _handlers(l1))
    if isinstance(target, NativeServer):
        target.answer_from_l1(f"/{_SERVICE}/GetTemplate", l1, _KIND)
    servicers.add_all(target)


if __name__ == "__main__":
    sys.exit(server.main(_add))
