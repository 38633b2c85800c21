"""A grpc.aio server that answers any unary call with nothing: what Python's gRPC itself costs, on the service's loop.

Called with the port; serves until the process is ended.
"""

import sys

import grpc
import uvloop


class _AnyMethod(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        del handler_call_details
        return grpc.unary_unary_rpc_method_handler(_nothing)


async def _nothing(request: bytes, context: object) -> bytes:
    del request, context
    return b""


async def _serve(port: int) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_AnyMethod(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
