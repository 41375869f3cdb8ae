"""Front ends: what carries gRPC calls to the servicers. Both have the interface of `grpc.aio.Server`."""
