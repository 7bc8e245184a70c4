"""How identifying a release would be, as pure rules over frames of numbered vehicles, cameras and times.

`figures` holds the results; `unicity` (by an index, `matching`), `standing_out` and `rejoining` work them out for one
body of reads, which `scopes` puts together; `choices` compares ways to release, `contexts` has the k rule for cameras,
and `key_loss` what a lost key costs. Nothing here opens a file, and no result has a plate, a token or a camera's name.
"""
