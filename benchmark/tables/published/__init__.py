"""The numbers of the MoE-Fusion paper's own Tables 1 to 3, copied by hand."""

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent


def read_published(number: int = 1) -> pd.DataFrame:
    """Return a table of the paper: dataset, method and its columns of numbers; AP in percent.

    Args:
        number: 1, 2 or 3.

    Reference: Cao et al., "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion",
        ICCV 2023, Tables 1-3.
    """
    return pd.read_csv(FOLDER / f"table{number}.csv")
