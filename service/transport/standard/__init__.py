"""Services that every gRPC server may have: grpc.health.v1 and reflection.   Knows no model."""
