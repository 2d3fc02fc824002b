"""Origins of molecules that no strategy proposed."""

START = "start"  # an initial molecule
ADDED = "added"  # one that was added later
GIVEN = (START, ADDED)
