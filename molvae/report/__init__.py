"""What a campaign found: one HTML file to read, to print, to mail, and its figures.

findings      what a record says, in numbers
hypervolume   how far a Pareto search came
figures       pictures of findings
reproduce     settings, versions, the command that begins the same campaign
page          all of it in one file
"""

from molvae.report.figures import write_figures
from molvae.report.findings import number
from molvae.report.page import check_can_write, render, write_report

__all__ = ["check_can_write", "number", "render", "write_figures", "write_report"]
