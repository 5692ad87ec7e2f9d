"""The published BEDD evaluation: answers, studies, videos."""
