"""Real servers, programs and clients for the tests; the fixtures are in tests/conftest.py."""
