from __future__ import annotations

import pytest

from matterhorn.errors import InputError
from matterhorn.storage import check_file

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "jpg", "jpeg", "webp"])
def test_a_picture_of_ours_may_be_replaced_and_another_s_may_not(tmp_path, ending):
    from matterhorn.report.picture import save_picture

    path = tmp_path / f"plot.{ending}"
    for own in (True, False):
        figure, axis = plt.subplots()
        axis.plot(range(500), range(500))
        if own:
            save_picture(figure, path)
            check_file(path, "--plot")
        else:
            figure.savefig(path)
            plt.close(figure)
            with pytest.raises(InputError, match="was not written by matterhorn"):
                check_file(path, "--plot")
