"""Issues, and traces that refer to them."""

ISSUES, TRACES = "3.0/mlflow/issues", "3.0/mlflow/traces"


def made(client, **more):
    return client("POST", ISSUES, experiment_id="0", name="slow", description="takes long", **more)["issue"]


def test_issues_are_made_changed_and_found(client):
    first = made(client)
    worst = made(client, severity="high", root_causes=["network"], categories=["latency"])
    made(client, severity="low", status="resolved")
    assert (first["status"], first["issue_id"][:4]) == ("pending", "iss-")
    assert client("GET", f"{ISSUES}/{worst['issue_id']}")["issue"] == worst
    changed = client("PATCH", f"{ISSUES}/{first['issue_id']}", status="rejected", severity="medium")["issue"]
    assert (changed["status"], changed["description"]) == ("rejected", "takes long")
    answer = client("POST", f"{ISSUES}/search", experiment_id="0", max_results=2)
    assert [each.get("severity") for each in answer["issues"]] == ["high", "medium"]
    rest = client("POST", f"{ISSUES}/search", max_results=2, page_token=answer["next_page_token"])
    assert ([each["severity"] for each in rest["issues"]], rest["next_page_token"]) == (["low"], "")
    resolved = client("POST", f"{ISSUES}/search", filter_string="status = 'resolved'")["issues"]
    assert [each["severity"] for each in resolved] == ["low"]


def test_traces_refer_to_issues(client, send, span, tracking, monkeypatch):
    """How many do is counted where they are: none of them is read."""
    send(span(1))
    trace, issue = f"tr-{1:032x}", made(client)
    reference = {
        "assessment_name": issue["issue_id"],
        "issue": {"issue_name": "slow"},
        "source": {"source_type": "CODE", "source_id": "check"},
    }
    client("POST", f"{TRACES}/{trace}/assessments", assessment=reference)
    where = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]
    answer = client("POST", f"{TRACES}/search", locations=where, filter=f"issue.id = '{issue['issue_id']}'")
    assert [each["trace_id"] for each in answer["traces"]] == [trace]
    search = tracking.records.documents.search
    monkeypatch.setattr(tracking.records.documents, "search", lambda of, query: search("issues", query))
    assert client("POST", f"{ISSUES}/search", include_trace_count=True)["issues"][0]["trace_count"] == 1


def test_what_is_no_issue_is_refused(client):
    assert client.refused("GET", f"{ISSUES}/iss-1", "RESOURCE_DOES_NOT_EXIST", 404) == "Issue with ID 'iss-1' not found"
    assert client.refused("PATCH", f"{ISSUES}/iss-1", "RESOURCE_DOES_NOT_EXIST", 404, name="a")
    given = {"experiment_id": "0", "name": "a", "description": "b"}
    assert "status" in client.refused("POST", ISSUES, "INVALID_PARAMETER_VALUE", **given, status="odd")
    client.refused("POST", ISSUES, "RESOURCE_DOES_NOT_EXIST", 404, **{**given, "experiment_id": "99"})
