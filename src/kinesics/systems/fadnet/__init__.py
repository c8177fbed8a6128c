"""FADNet: a steering network for federated training, whose last layers have few weights for silos to disagree on.

"Deep Federated Learning for Autonomous Driving" (arXiv 2110.05754). Where the text has a formula:

====================================  =======================================
text                                  function
====================================  =======================================
f_c = sum_h w_h f_h (Accumulation)    `model.accumulate`
theta = mean(f_s * f_c) (Aggregation) `model.aggregate`
GAP of each residual block, to R^d    `model.pooled_support`
residual blocks (ResNet-8)            `kinesics.nn.resnet8.ResNet8`
input layer normalisation             the first line of `model.FADNet.forward`
====================================  =======================================

What preset `release` does otherwise than `paper`
-------------------------------------------------
=============================  ===================================================================================
option                         what the released code does instead of the text
=============================  ===================================================================================
input_norm off                 no input layer normalisation; grey values 0 to 255 as they are (`input.std` 1/255)
support conv                   supports are 1x1 convolutions, with weights, of what goes INTO each block, at strides
                               7, 4 and 2, to 256 channels; neighbouring values in memory are then averaged in pairs
accumulation_bias              Accumulation is Linear(3, 1): three weights and a bias
fit.lr 1e-4                    the script's rate; the text says 0.001
=============================  ===================================================================================

`release_plus` is the second released model, FADNet_plus: no shortcuts past the blocks, and a linear layer on the
Hadamard product instead of its mean. Its supports bear the names of FADNet's shortcuts.

Not reproduced of the released code: every local step there draws the first batch of a fresh iterator, and its `--decay`
has no effect. Its augmentation functions, which its loader never calls, are `input.augment.flip` 0.5 with the
steering's sign changed, and a shift of up to 50 pixels of 320 with 0.002 added for each: `input.augment.shift` 0.156
with `task.shift_gain` 0.64 (which also shifts up and down by that fraction, where they have 5 pixels).

Where the text is silent
------------------------
=====================================  ================================================================================
open question                          choice
=====================================  ================================================================================
input normalisation's own weights      none: one per pixel would be 80,000, a quarter of the published parameter count
how averages of 32, 64 and 128         without weights ("a non-weight pooling layer"): repeated to 128 channels, the
channels become R^6272                 same at all 7 x 7 cells
the FC layer before f_s                the released one, a linear map over the 7 columns shared by rows and channels,
                                       with ReLU and dropout: a full 6272 x 6272 layer would have 39 million weights
start of w                             PyTorch's, as released
start of the FC layer                  the identity; the released code draws weights and biases at random, and where a
                                       bias is negative and large a whole column is 0 for every picture
crop and size                          the released code's 200 x 200 from the centre of 320 x 240 (6272 = 128 x 7 x 7)
=====================================  ================================================================================

Parameters at 200 x 200 grey pixels: `paper` 308,443, `release` 341,980, `release_plus` 336,709. The published 317,729
belong to none of them, and the text doesn't say enough to find where the difference lies.
"""
