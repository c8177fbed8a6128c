"""What a steering model is looked at by: the closed loop, films of drives and of answers, the pixels that steer."""
