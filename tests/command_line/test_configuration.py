import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_agents.config import KEYS, load_settings, prepare_state, shown
from midwatch_agents.errors import ConfigError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment whose user configuration lies in a temporary folder."""
    (tmp_path / "xdg" / "midwatch").mkdir(parents=True)
    return {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}


def user_file(environ: dict[str, str]) -> Path:
    return Path(environ["XDG_CONFIG_HOME"]) / "midwatch" / "config.toml"


def origin(settings_origins: tuple[tuple[str, str], ...], key: str) -> str:
    return dict(settings_origins)[key]


def test_each_layer_outranks_the_one_below_it(tmp_path: Path, environ: dict[str, str]) -> None:
    user_file(environ).write_text('prometheus = "http://user"\ncontext = "user"\npolicy = "p.toml"\n')
    (tmp_path / "midwatch.toml").write_text('prometheus = "http://project"\ncontext = "project"\n')
    environ["MIDWATCH_PROMETHEUS"] = "http://variable"
    settings = load_settings({"prometheus": "http://flag"}, environ, tmp_path)
    assert (settings.prometheus, origin(settings.origins, "prometheus")) == ("http://flag", "flag")
    settings = load_settings({}, environ, tmp_path)
    assert (settings.prometheus, origin(settings.origins, "prometheus")) == ("http://variable", "MIDWATCH_PROMETHEUS")
    assert (settings.kube_context, origin(settings.origins, "context")) == ("project", str(tmp_path / "midwatch.toml"))
    assert origin(settings.origins, "policy") == str(user_file(environ))
    assert origin(settings.origins, "lab") == "default"


def test_a_path_in_a_file_is_relative_to_that_file(tmp_path: Path, environ: dict[str, str]) -> None:
    user_file(environ).write_text('kubeconfig = "clusters/one"\nguides = ["mine"]\n')
    settings = load_settings({"policy": "here.toml"}, environ, tmp_path)
    assert settings.kubeconfig == user_file(environ).parent / "clusters" / "one"
    assert settings.guides == (user_file(environ).parent / "mine",)
    assert settings.policy == tmp_path / "here.toml"


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ('promtheus = "x"', "'promtheus'"),
        ("prometheus = 3", "prometheus"),
        ("guides = 'mine'", "guides"),
        ("guides = [1]", "guides"),
        ("lab = 1", "lab"),
        ('state = ""', "state"),
        ("state = ", "no TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name_and_the_key(
    tmp_path: Path, environ: dict[str, str], line: str, names: str
) -> None:
    file = tmp_path / "midwatch.toml"
    file.write_text(line + "\n")
    with pytest.raises(ConfigError) as caught:
        load_settings({}, environ, tmp_path)
    assert str(file) in str(caught.value)
    assert names in str(caught.value)
    assert caught.value.code == 2


def test_a_lab_that_is_up_gives_its_cluster_and_its_metrics(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "lab.json").write_text('{"midwatch_kubeconfig": "/k", "prometheus": "http://127.0.0.1:1/p"}')
    settings = load_settings({"lab": "lab"}, environ, tmp_path)
    assert settings.kubeconfig == Path("/k")
    assert settings.prometheus == "http://127.0.0.1:1/p"
    assert origin(settings.origins, "kubeconfig") == str(tmp_path / "lab" / "lab.json")


def test_a_lab_that_is_not_up_never_falls_back_to_the_users_own_cluster(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    settings = load_settings({"lab": "", "state": "state"}, environ, tmp_path)
    assert settings.lab == tmp_path / "state" / "lab"
    assert settings.kubeconfig is not None
    assert not settings.kubeconfig.exists()
    assert settings.prometheus is None


@given(st.sets(st.sampled_from(KEYS)))
def test_every_key_has_an_origin_whatever_is_set(given_keys: set[str]) -> None:
    environ = {"XDG_CONFIG_HOME": "/nowhere"} | {f"MIDWATCH_{key.upper()}": "x" for key in given_keys}
    settings = load_settings({}, environ, Path("/nowhere"))
    for key, (_, where) in shown(settings).items():
        assert where == (f"MIDWATCH_{key.upper()}" if key in given_keys else "default") or (
            key in {"kubeconfig", "prometheus_http_config"} and "lab" in given_keys
        )


def test_a_password_in_a_url_is_not_shown(tmp_path: Path, environ: dict[str, str]) -> None:
    settings = load_settings({"prometheus": "https://ann:hunter2@metrics.example:9090/prom"}, environ, tmp_path)
    assert shown(settings)["prometheus"] == ("https://[redacted]@metrics.example:9090/prom", "flag")


def test_the_state_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    prepare_state(state)
    assert state.stat().st_mode & 0o777 == 0o700


def test_a_state_folder_that_is_open_to_others_and_in_use_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "something").touch()
    state.chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        prepare_state(state)
    assert state.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that belongs to somebody else")
def test_a_state_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, 12345, 12345)
    with pytest.raises(ConfigError, match="another user"):
        prepare_state(state)


def test_credentials_do_not_go_to_an_endpoint_that_a_higher_layer_names(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    user_file(environ).write_text('prometheus = "https://mine"\nprometheus_http_config = "mine.yml"\n')
    settings = load_settings({}, environ, tmp_path)
    assert settings.prometheus_http_config == user_file(environ).parent / "mine.yml"
    (tmp_path / "midwatch.toml").write_text('prometheus = "https://theirs"\n')
    settings = load_settings({}, environ, tmp_path)
    assert (settings.prometheus, settings.prometheus_http_config) == ("https://theirs", None)
    assert "not used" in origin(settings.origins, "prometheus_http_config")
    settings = load_settings({"prometheus_http_config": "other.yml"}, environ, tmp_path)
    assert settings.prometheus_http_config == tmp_path / "other.yml"


def test_a_lab_is_asked_without_the_credentials_of_another_endpoint(tmp_path: Path, environ: dict[str, str]) -> None:
    user_file(environ).write_text('prometheus_http_config = "mine.yml"\n')
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "lab.json").write_text('{"midwatch_kubeconfig": "/k", "prometheus": "http://127.0.0.1:1/p"}')
    settings = load_settings({"lab": "lab"}, environ, tmp_path)
    assert (settings.prometheus, settings.prometheus_http_config) == ("http://127.0.0.1:1/p", None)
