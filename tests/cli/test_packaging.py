"""bakeoff package: its page and its document."""

import jsonschema

from bakeoff.cli.documents import schema_of


def test_a_wheel_from_the_command_line(bakeoff, ran, tmp_path):
    ended = bakeoff("package", "films", "--as", "wheel", "-o", tmp_path / "out", "--json", "-C", ran)
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.document, schema_of("package"))
    (wheel,) = (tmp_path / "out").iterdir()
    live = ended.document["model_version"]
    assert (ended.document["files"], ended.document["module"]) == ([wheel.name], "films")
    ended = bakeoff("package", "--as", "k8s", "--image", "films:1", "-o", tmp_path / "k8s", "-C", ran)
    assert ended.out.splitlines()[0] == f"{live} as k8s in {tmp_path / 'k8s'}"
    assert "note: the image is not pinned: name it by its digest" in ended.out
    ended = bakeoff("package", "--as", "oci", "-o", tmp_path / "oci", "-C", ran)
    assert (ended.code, "expected --base for an image" in ended.errors[0]) == (2, True)
