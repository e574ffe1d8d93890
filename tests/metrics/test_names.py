"""Names as people have them: which files of several folders belong together, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metrics
from metrics.__main__ import main
from metrics.errors import InputError
from metrics.images import ImageArray, write
from metrics.names import Pattern, find_patterns, match_folders

ROLES = ("infrared", "visible", "fused")


def image(seed: int) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (48, 56), dtype=np.uint8)


def put(folder: Path, *names: str, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        write(folder / f"{name}.png", image(seed + number))
    return folder


def put_all(root: Path, *sides: tuple[str, ...]) -> dict[str, Path]:
    return {
        role: put(root / role, *names, seed=10 * n) for n, (role, names) in enumerate(zip(ROLES, sides, strict=False))
    }


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((("IR1", "IR2"), ("VIS1", "VIS2"), ("Fuse1", "Fuse2")), ("IR{}", "VIS{}", "Fuse{}")),
        ((("IR1",), ("VIS1",), ("Fuse1",)), ("IR{}", "VIS{}", "Fuse{}")),
        ((("carLight", "fight"), ("carLight", "fight"), ("carLight_ADF", "fight_ADF")), ("{}", "{}", "{}_ADF")),
        ((("a1_IR", "b1_IR"), ("a1_VIS", "b1_VIS"), ("fused_a1", "fused_b1")), ("{}_IR", "{}_VIS", "fused_{}")),
        ((("01", "02", "03"), ("01", "02", "03"), ("fused_02",)), ("{}", "{}", "fused_{}")),
        ((("00004N", "00055D"), ("00004N", "00055D"), ("00004", "00055")), ("{}[DN]", "{}[DN]", "{}")),
        ((("FLIR_7_PreviewData", "FLIR_8_PreviewData"), ("FLIR_7_RGB", "FLIR_8_RGB"), ("FLIR_7",)),
         ("{}_PreviewData", "{}_RGB", "{}")),
    ],
)  # fmt: skip
def test_the_common_pattern_of_each_folder_is_found(
    sides: tuple[tuple[str, ...], ...], expected: tuple[str, ...], tmp_path: Path
) -> None:
    match = match_folders(put_all(tmp_path, *sides), leader="fused")
    assert tuple(map(str, match.patterns.values())) == expected
    assert match.remark == f"names matched as infrared {expected[0]}, visible {expected[1]}, fused {expected[2]}"
    for name, path in match.files["fused"].items():
        place = sides[2].index(path.stem)
        if len(sides[0]) == len(sides[2]):
            assert match.files["infrared"][name].stem == sides[0][place]
            assert match.files["visible"][name].stem == sides[1][place]


def test_equal_names_need_no_pattern(tmp_path: Path) -> None:
    match = match_folders(put_all(tmp_path, ("a_x", "b_x"), ("a_x", "b_x"), ("a_x",)), leader="fused")
    assert (match.remark, set(match.files["infrared"])) == ("", {"a_x", "b_x"})


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ((("00001",), ("00001",), ("1",)), r"leading zeros. Found infrared in .*: 00001.png; .*fused in .*: 1.png"),
        ((("Car",), ("Car",), ("car",)), "differ in upper and lower case"),
        ((("mycar",), ("mycar",), ("my_car",)), "differ in spaces"),
        ((("10", "11"), ("10", "11"), ("0", "1")), "no name is the same"),  # a number is never cut
        ((("cat",), ("bat",), ("rat",)), "no name is the same"),  # nor a word
        ((("1", "2"), ("1", "2"), ("1_2",)), r"more than one way, as .*infrared: 1.png, 2.png.*fused: 1_2.png"),
    ],
)  # fmt: skip
def test_what_does_not_match_is_refused_with_the_names_of_all_sides(
    sides: tuple[tuple[str, ...], ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as raised:
        match_folders(put_all(tmp_path, *sides), leader="fused")
    assert '--names "IR{}.png" "VIS{}.png" "Fuse{}.png"' in str(raised.value)


def test_patterns_given_come_first(tmp_path: Path) -> None:
    folders = put_all(tmp_path, ("1_2", "2_1"), ("1_2", "2_1"), ("1_2",))
    match = match_folders(folders, ("1_{}.png", "1_{}", "1_{}.PNG"))
    assert {role: list(files) for role, files in match.files.items()} == {role: ["2"] for role in ROLES}
    for patterns, said in (
        (("{}", "{}"), "2 patterns of names; expected 3"),
        (("{}", "{}", "x"), "pattern 'x': expected a file's name with one {}"),
        (("{}", "{}", "../{}"), "expected a file's name"),
        (("{}", "{}", "x{}"), "holds no image whose name fits x{}; found: 1_2.png"),
        (("{}", "{}", "{}.jpg"), "fits {}.jpg"),
    ):
        with pytest.raises(InputError, match=said):
            match_folders(folders, patterns)


def test_both_bands_in_one_folder(tmp_path: Path) -> None:
    flat = put(tmp_path / "flat", "IR_street_g", "VIS_street_r", "IR_lake_g", "VIS_lake_r")
    fused = put(tmp_path / "fused", "lake")
    match = match_folders({"infrared": flat, "visible": flat, "fused": fused}, leader="fused")
    assert match.files["infrared"]["lake"].stem == "IR_lake_g"
    assert match.files["visible"]["lake"].stem == "VIS_lake_r"
    put(flat, "other")
    with pytest.raises(InputError, match=r"nothing in other\.png says which it is"):
        match_folders({"infrared": flat, "visible": flat, "fused": fused})
    given = match_folders(
        {"infrared": flat, "visible": flat, "fused": fused}, ("IR_{}_g.png", "VIS_{}_r.png", "{}.png")
    )
    assert given.files["visible"].keys() == {"lake", "street"}


def test_one_file_is_not_both_bands(tmp_path: Path) -> None:
    folders = put_all(tmp_path, ("a",), ("a",), ("a",))
    with pytest.raises(InputError, match=r"is both the infrared and the visible folder, and nothing in a\.png"):
        metrics.evaluate_folder(folders["infrared"], folders["infrared"], folders["fused"])
    (folders["visible"] / "a.png").unlink()
    (folders["visible"] / "a.png").symlink_to(folders["infrared"] / "a.png")
    with pytest.raises(InputError, match=r"infrared/a\.png is both the infrared and the visible image"):
        metrics.evaluate_folder(*folders.values())


WORDS = st.sampled_from(["", "IR_", "vis-", "fused_", "x "])
ENDS = st.sampled_from(["", "_IR", "-ADF", "_out"])


@given(
    names=st.lists(st.integers(1, 99_999).map(str), min_size=1, max_size=6, unique=True),
    marks=st.tuples(*[st.tuples(WORDS, ENDS)] * 3),
)
def test_any_beginning_and_end_is_found(names: list[str], marks: tuple[tuple[str, str], ...]) -> None:
    sides = {role: [f"{start}{name}{end}" for name in names] for role, (start, end) in zip(ROLES, marks, strict=True)}
    patterns = find_patterns(sides, "fused")[0]
    for name, *row in zip(names, *sides.values(), strict=True):
        identities = {patterns[role].identify(stem) for role, stem in zip(ROLES, row, strict=True)}
        assert len(identities) == 1
        assert name in str(identities.pop())


def test_the_pattern_is_said_and_changes_no_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = put_all(tmp_path / "plain", ("1", "2"), ("1", "2"), ("1", "2"))
    marked = put_all(tmp_path / "marked", ("IR1", "IR2"), ("VIS1", "VIS2"), ("Fuse1", "Fuse2"))
    expected, found = (metrics.evaluate_folder(*folders.values(), workers=1) for folders in (plain, marked))
    pd.testing.assert_frame_equal(expected, found, check_exact=True)
    assert main([*map(str, marked.values()), "--workers", "1"]) == 0
    assert "names matched as infrared IR{}, visible VIS{}, fused Fuse{}\n" in capsys.readouterr().out
    assert main([*map(str, marked.values()), "--workers", "1", "--names", "IR{}.png", "VIS{}.png", "Fuse{}.png"]) == 0
    assert "names by the patterns given: infrared IR{}.png, visible VIS{}.png, fused" in capsys.readouterr().out


def test_extra_fused_images_are_left_out_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = put_all(tmp_path, ("1", "2"), ("1", "2"), ("1", "2", "3"))
    with pytest.raises(InputError, match=r"1 of 3 fused .*: 3\.png; there is no other image.*--ignore-extra"):
        metrics.evaluate_folder(*folders.values(), workers=1)
    frame = metrics.evaluate_folder(*folders.values(), workers=1, ignore_extra=True)
    assert (list(frame["image"]), frame.attrs["extra"]) == (["1", "2"], ["3"])
    assert main([*map(str, folders.values()), "--workers", "1", "--ignore-extra"]) == 0
    assert "fused images without sources, left out: 1 (3)" in capsys.readouterr().out


def test_remarks(tmp_path: Path) -> None:
    folders = put_all(tmp_path, ("1", "2", "3"), ("1", "2", "3"), ("1", "2", "3"))
    assert metrics.evaluate_folder(*folders.values(), workers=1).attrs["remarks"] == []
    write(folders["fused"] / "1.png", image(0))  # that of the infrared image
    write(folders["fused"] / "2.png", (image(5) > 128).astype(np.uint8))
    one, two = (metrics.evaluate_folder(*folders.values(), workers=n) for n in (1, 2))
    assert one.attrs["remarks"] == [
        "fused: 1 image equal to the infrared image, level by level (1)",
        "fused: 1 image almost black (no level above 1): were levels from 0 to 1 saved as 8 bits? (2)",
    ]
    assert two.attrs["remarks"] == one.attrs["remarks"]


def test_pattern_text() -> None:
    assert Pattern.parse("IR{}.PNG") == Pattern("IR", "", ".png")
    assert Pattern.parse("{}.v2.png") == Pattern("", ".v2", ".png")
    assert Pattern.parse("{}.v2").identify("a.v2") == "a"
    assert Pattern("IR").identify("IR") is None


CASES = {  # folders of ../shared/cases, in the order infrared, visible, fused
    "base": "ir vi fused",
    "exif3_vi_jpg": "ir vi fused",
    "plt_imsave_fused": "ir vi fused",
    "vifb_names": "ir vi fused_ADF",
    "hli_names_two_folders": "ir vis ccfuse",
}


@pytest.mark.shared
@pytest.mark.parametrize("name", CASES)
def test_folders_as_people_have_them(name: str, shared: Path) -> None:
    frame = metrics.evaluate_folder(*(shared / "cases" / name / part for part in CASES[name].split()), workers=1)
    expected = {  # of the sound triple, by cases/README.md and cases/base/o.csv
        "base": {"MI": 3.9770, "VIF": 0.8539},
        "exif3_vi_jpg": {"MI": 3.9770, "VIF": 0.8539},
    }
    for metric, value in expected.get(name, {}).items():
        tolerance = 0.01 if name == "exif3_vi_jpg" else 0.00005  # its visible image is a JPEG
        assert frame[metric].iloc[0] == pytest.approx(value, abs=tolerance)
    if name in ("vifb_names", "hli_names_two_folders"):
        assert "names matched as" in frame.attrs["remarks"][0]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("webp_in_jpg_name", "is a WEBP image, whatever its name says"),
        ("textif_cropped", r"184x160 but its sources are 200x160.*as after cropping.*--size would compare shifted"),
        ("zero_padding", "leading zeros"),
    ],
)
def test_folders_that_are_refused_for_the_right_reason(name: str, said: str, shared: Path) -> None:
    with pytest.raises(InputError, match=said):
        metrics.evaluate_folder(*(shared / "cases" / name / part for part in ("ir", "vi", "fused")), workers=1)


def test_a_sources_folder_can_stand_for_the_fused_one(tmp_path: Path) -> None:
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "1.png", np.zeros((4, 4), np.uint8))
    match = match_folders({"infrared": tmp_path / "ir", "visible": tmp_path / "vi", "fused": tmp_path / "ir"})
    assert match.files["fused"] == {"1": tmp_path / "ir/1.png"}
