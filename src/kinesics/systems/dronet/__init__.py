"""DroNet: ResNet-8 with a steering head, the network that FADNet starts from and is compared with.

A. Loquercio, A. I. Maqueda, C. R. del-Blanco, D. Scaramuzza, "DroNet: Learning to Fly by Driving", IEEE Robotics and
Automation Letters 3 (2018). The collision head, its loss, hard negative mining and the L2 penalty of the original are
left out: what the FADNet text compares with is the steering branch, 314,657 parameters for 200 x 200 grey pixels, which
is what this network has.
"""
