from __future__ import annotations

import re

from towpath.serve.metrics import Counter, Gauge, Histogram

LABEL = r'[a-z_]+="[^"\n]*"'
SAMPLE = re.compile(rf"^[a-z_][a-z0-9_]*(\{{{LABEL}(,{LABEL})*\}})? \d+(\.\d+)?(e-?\d+)?$")


def figures(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_requests_and_tokens_are_counted(client) -> None:
    client.post("/generate", json={"prompt": "four", "max_length": 7})
    client.post("/generate", json={"prompt": "FAIL"})
    client.post("/generate", json={"prompt": 3})
    counted = figures(client.get("/metrics").text)
    assert counted['towpath_http_responses_total{path="/generate",status="200"}'] == 1
    assert counted['towpath_http_responses_total{path="/generate",status="400"}'] == 1
    assert counted['towpath_requests_total{finished_reason="length"}'] == 1
    assert counted['towpath_requests_total{finished_reason="error"}'] == 1
    assert counted["towpath_prompt_tokens_total"] == 8
    assert counted["towpath_generation_tokens_total"] == 3
    assert counted["towpath_e2e_request_latency_seconds_count"] == 2
    assert counted["towpath_time_to_first_token_seconds_count"] == 1
    assert counted["towpath_num_requests_running"] == 0
    assert counted['towpath_model_info{id="0123456789abcdef",name="fake"}'] == 1


def test_every_line_is_in_prometheus_format(client) -> None:
    client.post("/v1/completions", json={"prompt": "x"})
    response = client.get("/metrics")
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    typed = set()
    for line in response.text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            assert SAMPLE.match(line), line
            name = re.split(r"[{ ]", line)[0]
            assert name in typed or re.sub(r"_(bucket|sum|count)$", "", name) in typed


def test_paths_that_clients_make_up_share_one_figure(client) -> None:
    for number in range(5):
        client.get(f"/made-up-{number}")
    assert (
        figures(client.get("/metrics").text)['towpath_http_responses_total{path="other",status="404"}'] == 5
    )


def test_buckets_are_cumulative_and_hold_their_bound() -> None:
    histogram = Histogram("h", "", (1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert list(histogram.lines()) == [
        'h_bucket{le="1.0"} 2',
        'h_bucket{le="2.0"} 3',
        'h_bucket{le="+Inf"} 4',
        "h_sum 12.0",
        "h_count 4",
    ]


def test_large_counts_keep_every_digit_and_labels_are_escaped() -> None:
    counter = Counter("c", "")
    counter.add(123_456_789)
    assert list(counter.lines()) == ["c 123456789.0"]
    gauge = Gauge("g", "", lambda: 1, (("name", 'a"b\\c\nd'),))
    assert list(gauge.lines()) == ['g{name="a\\"b\\\\c\\nd"} 1']
