"""Methods x conditions x schedules x seeds on one protocol: which method is really better?

`study.plan_study` and `study.run_study` go from a STUDY.yaml (`reading`, `config`) to manifests (`manifests`), cells
that are resumable runs (`cells`, `execution`, `worker`), results and statistics (`results`, `statistics`), and to a
table, plots and a page (`table`, `figures`, `page`).
"""
