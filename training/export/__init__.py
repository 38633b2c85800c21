"""From a trained model to a bundle: graphs written, proven, described and published."""
