"""What happens around a training step: log, TensorBoard, moving average, validation, progress."""
