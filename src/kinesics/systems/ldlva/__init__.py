"""LDLVA: label distribution learning over neighbours in valence-arousal space, with an uncertainty for every sample.

N. Le, K. Nguyen, Q. Tran, E. Tjiputra, B. Le, A. Nguyen, "Uncertainty-aware Label Distribution Learning for Facial
Expression Recognition", WACV 2023 (arXiv 2209.10448).

Map of the text
---------------
x^i image, l^i its one-hot label, v^i its feature vector (V numbers), a^i its valence and arousal, f the softmax output,
N(i) its K nearest neighbours in valence-arousal space, mu_j the centre of class j. B samples in a batch.

=====================================================================  ===========================================
equation                                                               function
=====================================================================  ===========================================
N(i): K nearest in the valence-arousal space                           `neighbours.nearest`
a^i where the data have none ("pseudo-valence-arousal")                `neighbours.locate`, `LDLVA.epoch_start`
s^i_k = exp(-||a^i - a^k||_2^2 / delta^2)                              `losses.local_similarity`
zeta^i_k = sigmoid(g([v^i, v^k]; phi))                                 `model.Calibration`
c^i_k = zeta^i_k s^i_k                                                 `task.LDLVA.training_step`
d~^i = sum_k c^i_k f(x^k) / sum_k c^i_k                                `losses.aggregate`
d^i = (1 - lambda^i) l^i + lambda^i d~^i                               `losses.target_distribution`
L_cls = -sum_i sum_j d^i_j log f_j(x^i)                                `losses.classification_loss`
L_D, 1st term: 1/2 sum_i (1 - lambda^i) ||v^i - mu_{y^i}||_2^2         `losses.intra_class_loss`
L_D, 2nd term: sum_{j != k} exp(-||mu_j - mu_k||_2^2 / sqrt(V))        `losses.centre_repulsion`
L = L_cls + gamma L_D                                                  `task.LDLVA.training_step`
=====================================================================  ===========================================

lambda is the text's UNCERTAINTY everywhere: 0 trusts the given label, 1 the neighbours.

Presets
-------
`paper` is the text. `release` follows the authors' released code where that differs:

==============================  ==========================================================================
option                          what the released code does instead of the text
==============================  ==========================================================================
similarity laplace, delta 0.5   exp(-||a_i - a_k||_1 / 0.5): another norm, not squared
calibration_floor -1.3          g's output is clamped from below, so zeta >= .214 and has no gradient there
calibration_hidden [512, 256]   the text says "MLP"; the code has these widths
calibration_norm                batch normalisation over the B K pairs inside g
uncertainty_init .378           it trains the certainty 1 - lambda, starting from sigmoid(.5) = .622
uncertainty_through_centres     off: lambda is a constant in L_D, which by itself only ever raises lambda
reduction mean                  losses are means over samples, not sums
neighbours_in_centres           the K neighbours count in L_D's first term, with their labels and lambdas
centres moved                   centres follow a hand-made step instead of a gradient (`move_centres_release`):
                                the pairwise term counts each pair once, divides by V instead of sqrt(V), has
                                weight 0.1 instead of gamma; the attraction is divided by B(1 + K) once more
centre_init 0                   all centres start at the origin, where the repulsion's gradient is zero
neighbours forward              as the text; the neighbours are run in training mode, so batch normalisation
                                sees them as a batch of their own and updates its statistics twice a step
==============================  ==========================================================================

What of the released code is not reproduced: it picks the epoch on the test set (here: on validation); it loses lambda
when resumed (here: kept); neighbours are not randomly erased there (here they get the run's whole augmentation); it
takes K neighbours from its CSV (here: searched); an L2 term that it declares but never adds;
1e-10 added inside the logarithm (here log-softmax; `losses.classification_loss_release` is kept for comparison). Its
Keras checkpoints are not read.

Where the text is silent
------------------------
The figures behind the defaults are in EXPERIMENTS.md; in short:

- `neighbours`: by a forward pass or from a bank: a bank's step costs 1.02 to 1.04 of a plain one, a forward pass 3.5
  to 4.4.
- `bank_start`, `bank_hold`, `bank_momentum`: what the bank starts from and how fresh it is: the teachers'
  predictions, held until the network has outgrown them (about 5 epochs); momentum gains nothing.
- `warmup`: when neighbours are trusted: from the first step, since the bank starts with the teachers.
- `source`, `space`, `teacher_*`: where valence-arousal comes from: d~ is never better than the placing.
- `relocate`: whether it is renewed while training: yes (30 % flips, 30 epochs: 73.4 against 69.9 % with the teachers'
  alone).
- `uncertainty_start`, `uncertainty_init`: lambda's start, the sigmoid of a logit: where the mixture comes nearest to
  what teachers and labels say of the truth, at most .5; .6 lets the bank feed on itself in short schedules.
- `alignment`: whether neighbours may change how frequent classes are: yes; held to the labels' frequencies, rare
  classes are not forgotten, but natural labels have the frequencies wrong, and there it costs more than it brings.
- `uncertainty_lr`, `uncertainty_momentum`: lambda's rate: 10; 30 to 100 give up right labels that are not learned
  yet.
- `reduction`: sums or means, which lambda's rate assumes: means, as released.
- `uncertainty_through_centres`: whether L_D teaches lambda: no, see below.
- `centre_init`, `centre_lr`: first centres and their rate: one at which centres follow their class means.
- `gamma`: weight of L_D: .001; .01 slows features that are trained from scratch.
- `delta`, `calibration_hidden`: width of the local similarity, widths of g: not searched.
- d's gradient is kept, see below.

L_D's gradient for lambda^i is -||v^i - mu_{y^i}||^2 / 2, never positive: by itself it drives every lambda to 1,
whatever the label is. d's gradient has to be kept, as lambda and g learn in no other way.
"""
