import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Small matrices gain nothing from threads, and lose much where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
