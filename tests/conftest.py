"""What every test shares: how hard Hypothesis tries, and nothing else."""

from hypothesis import settings

# A deadline would make a test depend on the speed of the machine; the blob line repeats a failure.
settings.register_profile("everyday", deadline=None, print_blob=True)
settings.register_profile("thorough", settings.get_profile("everyday"), max_examples=2_000)
settings.load_profile("everyday")
