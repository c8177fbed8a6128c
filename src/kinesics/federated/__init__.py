"""Training across silos that exchange weights and never data: who is linked to whom, how they mix, and how it goes."""
