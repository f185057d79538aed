"""What every test shares: how Hypothesis is run, and nothing else."""

from hypothesis import settings

# A deadline would make a test depend on the speed of the machine; the blob repeats a failure.
settings.register_profile("wwwserve", deadline=None, print_blob=True)
settings.load_profile("wwwserve")
