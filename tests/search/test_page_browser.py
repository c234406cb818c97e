"""The page in headless Chromium, where one is installed: it is drawn, budgets act, a click shows the command. No network is there."""

import json
import re
import shutil
import subprocess

import pytest

from espnet_plugin.search.page import html

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
POINTS = [
    dict(
        subnet="0x1", params=1e6, size=4e6, macs=1e7, size_int8=1e6, loss=3.0, wer=30.0, front=True, name="min", sets={}
    ),
    dict(subnet="0-1x1", params=2e6, size=8e6, macs=2e7, size_int8=2e6, loss=4.0, front=False),
    dict(
        subnet="0-1x2",
        params=3e6,
        size=12e6,
        macs=3e7,
        size_int8=3e6,
        loss=1.0,
        wer=10.0,
        front=True,
        name="max",
        sets={"test</script>": {"wer": 12.5, "cer": 3.25}},
    ),
]
FOUND = dict(
    points=POINTS,
    by="params",
    search="evolution",
    evaluations=3,
    decoded=2,
    rank_correlation=1.0,
    extract="espnet-todm extract --train_config c --model_file m",
)
ACT = """<script>
const seen = [...document.querySelectorAll("circle")].map(c => c.dataset.subnet + ":" + c.getAttribute("class"));
document.querySelector('circle[data-subnet="0-1x2"]').dispatchEvent(new MouseEvent("click"));
const budget = document.getElementById("max-params");
budget.value = "2.5";
budget.dispatchEvent(new Event("input"));
const left = [...document.querySelectorAll("circle")].map(c => c.dataset.subnet + ":" + c.getAttribute("class"));
document.querySelector('circle[data-subnet="0x1"]').dispatchEvent(new MouseEvent("mousemove", {clientX: 5, clientY: 5}));
const shown = getComputedStyle(document.getElementById("tip")).display;
budget.value = "0.5";
budget.dispatchEvent(new Event("input"));
const outcome = {seen, left, shown, hidden: getComputedStyle(document.getElementById("tip")).display,
  empty: document.getElementById("empty").textContent, error: document.getElementById("y").value, wide: document.body.scrollWidth,
  names: [...document.querySelectorAll("text.name")].map(t => t.textContent), command: document.getElementById("command").textContent,
  detail: document.getElementById("detail").textContent, tip: document.getElementById("tip").textContent};
document.title = "outcome " + JSON.stringify(outcome) + " end";
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_page_in_a_browser(tmp_path):
    page = tmp_path / "front.html"
    page.write_text(html(FOUND).replace("</body>", ACT), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    options += ["--window-size=500,900"]  # the narrowest window that Chromium opens
    options += ["--host-resolver-rules=MAP * ~NOTFOUND"]
    done = subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, timeout=300)
    outcome = json.loads(
        re.search(r"<title>outcome (.*) end</title>", done.stdout)[1].replace("&lt;", "<").replace("&gt;", ">")
    )
    assert outcome["error"] == "wer" and outcome["names"] == [
        "min",
        "max",
    ]  # the chosen sizes, by what they are chosen by
    assert sorted(outcome["seen"]) == ["0-1x2:front decoded named", "0x1:front decoded named"]
    # At most 2.5 million parameters: the largest one is beyond, and the front is that of the others.
    assert sorted(outcome["left"]) == ["0-1x2:decoded out named chosen", "0x1:front decoded named"]
    assert outcome["shown"] == "block" and outcome["hidden"] == "none" and outcome["wide"] <= 500
    assert outcome["empty"] == "No subnet is within this budget. parameters (millions): the least is 1."
    assert outcome["command"] == f"{FOUND['extract']} --subnet 0-1x2 --out max"
    assert "test</script> WER (%)12.5" in outcome["detail"]
    assert outcome["tip"].startswith("min: 0x1") and "parameters (millions): 1" in outcome["tip"]
