from __future__ import annotations

import pytest

from anyturn.wire.profile import Profile
from support.strict_providers import PROFILES


@pytest.fixture(scope="session", params=PROFILES, ids=lambda profile: profile.name)
def profile(request: pytest.FixtureRequest) -> Profile:
    """Each of the strict providers' profiles in turn."""
    chosen: Profile = request.param
    return chosen
