"""``towpath data classify train``: a quality classifier from texts that are good and texts that are bad."""

from __future__ import annotations

import argparse
from dataclasses import asdict


def run(options: argparse.Namespace) -> int:
    """Train, save, and say how well it does on texts that were held out."""
    from towpath.cli.inputs import print_result
    from towpath.data.classifier import labelled_texts, train_classifier

    classifier = train_classifier(labelled_texts(options.good), labelled_texts(options.bad))
    digest = classifier.save(options.into)
    report = classifier.report
    assert report is not None
    text = (
        f"On {report.n_held_out:,} texts that were not trained on: {report.accuracy:.1%} on the right side "
        f"of 0.5, area under the curve {report.area_under_curve:.3f}, calibration error "
        f"{report.calibration_error:.3f}.\nThe classifier is in {options.into}. In the run file:\n\n"
        f'[[data.filters]]\ntype = "classifier"\npath = "{options.into}"\nmin_score = 0.5'
    )
    print_result(options, {"sha256": digest, **asdict(report)}, text)
    return 0
