"""Data in, recurrent models as bundles out.   Never sees gRPC or the serving side."""
