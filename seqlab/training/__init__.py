"""What a fit needs besides its model: seeds, checkpoints, schedules, logs, progress, pictures."""
