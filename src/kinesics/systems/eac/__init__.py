"""EAC, Erasing Attention Consistency: a face and its mirror image must be looked at in mirrored places.

Y. Zhang, C. Wang, X. Ling, W. Deng, "Learn From All: Erasing Attention Consistency for Noisy Label Facial Expression
Recognition", ECCV 2022 (arXiv 2207.10299). Released code: github.com/zyh-uaiaaaa/Erasing-Attention-Consistency.

Map of the text
---------------
I images of a batch after random erasing, I' their mirror images, F and F' the last feature maps (N, C, H, W), W the
weights of the classifier (L classes). Only I has a classification loss: the framework is imbalanced, so that a label
learned by heart from a part of I shows as a disagreement with I'.

=====================================================================  ===========================================
equation                                                               function
=====================================================================  ===========================================
random erasing                                                         `kinesics.data.augment`
M_j = sum_c W_jc F_c, and M' of F'                                     `losses.attention_maps`
l_cls = -1/N sum_i log softmax(W pool(F_i))_{y_i}                      `task.EAC.training_step`
l_c = 1/(N L H W) sum_ij ||M_ij - Flip(M'_ij)||^2                      `losses.flip_consistency`
l = l_cls + lambda l_c                                                 `task.EAC.training_step`
=====================================================================  ===========================================

Presets
-------
`default`: the method on the backbone and schedule of every other system here, images erased as in the released code
(half of them, 2 to 25 % of the area). `release`: its settings for RAF-DB with ResNet-50 (224 px, Adam at 1e-4 times 0.9
after each of 60 epochs, batches of 32).

Chosen, and why
---------------
- `erasing` apart: for noisy labels the released code erases the image and the mirror image at different places; for
  its clean list it mirrors the erased image (`erasing` shared).
- `weight` lambda 5: the released code's value, for every noise level.
- `detach_classifier`: W is a constant in the maps, as released: the consistency teaches the features, and can't be
  met by shrinking W.
- One forward pass over 2N images, where the released code makes two of N: batch normalisation sees both halves
  together and updates its statistics once.
- Maps are flipped exactly; the released code resamples them with a grid that does the same.
- What is erased becomes noise, not the mean grey: the erasing of `input.augment`, as in every system here.
- The released code adds Gaussian noise to half of the images; here the run's own augmentation is used. Both views share
  all of it but the erasing.
- Left out: picking the epoch on the test set; pre-training on MS-Celeb-1M (`--weights FILE` starts from any weights).
"""
