"""Well-known image networks with one linear output: what the FADNet text's Table 2 compares with, and the ResNets.

MobileNet-V2 (Sandler et al., CVPR 2018) has 2.2 million parameters, as published there. VGG-16 (Simonyan and Zisserman,
ICLR 2015) is the thirteen convolutions and a global average, 14.7 million; the 7.5 million of Table 2 belong to a cut
of it that the text doesn't describe. Inception-V3 is not here.
"""
