"""What a campaign says, as plain values: what the report, the live page and the terminal show alike.

    reading       a campaign's folder, or an imported results.tsv, as a Tale that grows with its ledger
    shapes        Story, Row, Detail and Now: what travels to a page, as JSON of dataclasses.asdict
    now           the Now of a running night, in a file beside its ledger
    briefs        all campaigns as a list, of which only what changed is read again
    ...           one module for each part of a Story
    reading         a campaign's folder, or an imported results.tsv, as a Tale that grows with its ledger
    shapes          Story, Row, Detail and Now: what travels to a page, as JSON of dataclasses.asdict
    rows            each experiment as a line and a point
    standing        counts, the gain with its interval, noise, time and cost
    sentences       the campaign in three of them
    contributions   the waterfall: what each keep brought
    branches        the tree of what came from what
    budget          where the time went
    facts           image, harness, data, hardware, and the commands that check them
    detail          what one experiment opens to; `diffs` and `texts` make its change and its log showable

Owns    every number and every sentence that a person is shown of a campaign
Takes   Records and the files beside the ledger; reads only, takes no lock
Gives   Stories
Never   draws, and never says more than the records do
"""
