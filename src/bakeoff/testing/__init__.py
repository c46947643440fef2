"""What a third party needs to test its own parts: conformance suites as classes, and in-memory fakes.

A suite is a plain class of tests; derive from it in a test file and give the fixture that it names:

    class TestMine(RecordStoreConformance):
        @pytest.fixture
        def store(self, clock): ...
"""
