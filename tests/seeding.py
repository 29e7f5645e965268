"""The seed of tests that fix none of their own: another shows whether a test holds for one draw alone."""

import os

SEED = int(os.environ.get("SIGNALCAM_TEST_SEED", "0"))
