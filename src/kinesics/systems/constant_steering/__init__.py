"""What steers without looking: the mean of the training targets (Constant), or a draw around it (Random).

Both are rows of the FADNet text's Table 2, which doesn't define them. Constant is the mean, the constant of least
RMSE. Random is a normal draw with the training targets' mean and deviation: its RMSE is then about sqrt(2) times
Constant's where training and test targets are alike, and the published ratios are 1.44, 1.27 and 1.33. The draw is
made from the picture's bytes, so that the same picture always gets the same answer.
"""
