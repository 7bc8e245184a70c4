"""How identifying a release would be, as pure rules over frames of numbered vehicles, cameras and times.

`figures` holds the results; `unicity`, `standing_out`, `rejoining`, `key_loss`, `contexts` and `choices` work them out.
Nothing here opens a file, and nothing here has a plate, a token or a camera's name.
"""
