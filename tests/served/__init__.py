"""What cards say of the published bundles, measured again through a running server."""
