"""Models and requests: which versions serve, who waits, what runs next.   Knows no gRPC and no onnxruntime."""
