"""Energy: the processors' counters where they can be read, CPU time times watts where not."""

from pathlib import Path

import pytest

from midwatch_serving.energy import WATTS_PER_CORE, CpuTimeMeter, RaplMeter, best_meter


def zone(root: Path, folder: str, name: str, energy: int, largest: int = 1000) -> Path:
    made = root / folder
    made.mkdir(parents=True)
    (made / "name").write_text(f"{name}\n")
    (made / "energy_uj").write_text(f"{energy}\n")
    (made / "max_energy_range_uj").write_text(f"{largest}\n")
    return made


def test_packages_are_counted_and_their_parts_are_not(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 100_000_000, 10**9)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000, 10**9)
    core = zone(tmp_path, "intel-rapl:0:0", "core", 0, 10**9)
    meter = best_meter(root=tmp_path)
    assert meter.method == "rapl_package"
    (first / "energy_uj").write_text("102000000")
    (second / "energy_uj").write_text("5500000")
    (core / "energy_uj").write_text("999000000")
    assert meter.joules() == pytest.approx(2.5)


def test_a_counter_that_wraps_goes_on_growing(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900, largest=1000)
    meter = RaplMeter([package])
    (package / "energy_uj").write_text("50")
    assert meter.joules() == pytest.approx(150e-6)
    (package / "energy_uj").write_text("80")
    assert meter.joules() == pytest.approx(180e-6)


def test_a_counter_that_goes_away_stands_still(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = RaplMeter([package])
    (package / "energy_uj").write_text("7")
    assert meter.joules() == pytest.approx(7e-6)
    (package / "energy_uj").unlink()
    assert meter.joules() == pytest.approx(7e-6)


def test_without_counters_it_is_cpu_time(tmp_path: Path) -> None:
    assert best_meter(root=tmp_path).method == "cpu_time"
    assert best_meter(root=tmp_path / "none").method == "cpu_time"


def test_counters_that_cannot_be_read_give_way_to_cpu_time(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0) / "energy_uj"
    counter.unlink()
    counter.mkdir()  # an OSError for root too, whom no mode stops
    assert best_meter(root=tmp_path).method == "cpu_time"


def test_a_counter_that_is_no_number_gives_way_to_cpu_time(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", "package-0", 0) / "energy_uj").write_text("?")
    assert best_meter(root=tmp_path).method == "cpu_time"


def test_cpu_time_is_counted_from_the_start_at_the_given_watts(tmp_path: Path) -> None:
    spent = iter([10.0, 12.0, 15.0])
    meter = CpuTimeMeter(20.0, lambda: next(spent))
    assert (meter.joules(), meter.joules()) == (40.0, 100.0)
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    assert best_meter(7.0, root=tmp_path).method == "cpu_time"


def test_the_default_watts_are_those_of_one_virtual_cpu_under_full_load() -> None:
    spent = iter([0.0, 60.0])
    assert CpuTimeMeter(cpu_seconds=lambda: next(spent)).joules() == pytest.approx(60 * WATTS_PER_CORE)
