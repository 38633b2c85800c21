"""What a trained model does: measured and shown on its bundle, through the service's own engine; its gates."""
