"""Well-known image networks with one linear output: what the FADNet text's Table 2 compares with, and the ResNets.

=============  =======================================  =========================  =========
network        paper                                    parameters, one output     published
=============  =======================================  =========================  =========
MobileNet-V2   Sandler et al., CVPR 2018                2,225,153 (RGB)            2.2 M
Inception-V3   Szegedy et al., CVPR 2016                21,787,617 (RGB)           21.8 M
VGG-16         Simonyan and Zisserman, ICLR 2015        14,715,201 (RGB)           7.5 M
=============  =======================================  =========================  =========

The published counts of the first two are those of torchvision's networks with a single output (Inception-V3 without its
auxiliary head). Which VGG-16 has 7.5 million, the text doesn't say. What was tried, all with a linear output:

==================================================================  ==========
variant of VGG-16, RGB                                              parameters
==================================================================  ==========
thirteen convolutions, global average (this one)                    14,715,201
the same, three fully connected layers as published (224 pixels)    134,264,641
half the channels everywhere                                        3,680,417
convolutions of the first four groups (ten of the thirteen)         7,635,777
the same, grey                                                      7,634,625
fifth group alone trained, the others frozen                        7,079,937
configuration B, ten convolutions, global average                   9,405,505
configuration A, eight convolutions, global average                 9,220,993
==================================================================  ==========

None rounds to 7.5; ten convolutions come closest. The thirteen are kept, as VGG-16 is known by them.
"""
