"""The fakes pass the suites that real stores pass."""

import pytest

from bakeoff.testing.blobs import BlobStoreConformance
from bakeoff.testing.events import EventLogConformance
from bakeoff.testing.memory import MemoryBlobs, MemoryEvents, MemoryRecords
from bakeoff.testing.records import RecordStoreConformance


class TestMemoryRecords(RecordStoreConformance):
    @pytest.fixture
    def store(self, clock):
        return MemoryRecords(clock)


class TestMemoryBlobs(BlobStoreConformance):
    @pytest.fixture
    def store(self):
        return MemoryBlobs()


class TestMemoryEvents(EventLogConformance):
    @pytest.fixture
    def log(self, clock):
        return MemoryEvents(clock)
