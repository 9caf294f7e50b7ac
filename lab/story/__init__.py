"""What a campaign says, as plain values: what the report, the live page and the terminal show alike.

    reading       a campaign's folder, or an imported results.tsv, as a Tale that grows with its ledger
    shapes        Story, Row, Detail and Now: what travels to a page, as JSON of dataclasses.asdict
    now           the Now of a running night, in a file beside its ledger
    ...           one module for each part of a Story

Owns    every number and every sentence that a person is shown of a campaign
Takes   Records and the files beside the ledger; reads only, takes no lock
Gives   Stories
Never   draws, and never says more than the records do
"""
