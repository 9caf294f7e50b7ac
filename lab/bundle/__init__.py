"""A campaign as one file that a stranger can check on another machine.

    checks      one line of a verification
    layout      the names and limits of what a bundle holds
    archive     one .tar.zst: written the same way every time, and read without trust
    sealed      BagIt manifests and the in-toto statement
    signature   signing the statement, and who signed one
    crate       RO-Crate metadata: what the files are, and which run made them
    gather      what of a campaign is shipped
    private     what must not leave this host
    shipping    the last look before a file is shipped
    export      `lab bundle`: a campaign's folder into a bundle
    unpacked    a bundle that passed level 0, as a folder
    evidence    the facts and the records of a bundle, read without trust
    commits     level 1, the code: commits, lines, the best's train.py
    measured    level 1, the numbers: scores, audits, budgets, stamps, seeds
    derived     level 1, what is made of the ledger: tables, best/, recipe
    decisions   level 1, all of it: what the records say follows from the records
    rescore     level 2: the shipped weights score what was claimed
    verify      `lab verify`: all levels in order, and a verdict

Layout, below one top folder that is named nightlab-<tag>:

    bagit.txt bag-info.txt manifest-sha256.txt tagmanifest-sha256.txt
    statement.json                in-toto statement with SLSA provenance
    statement.json.sig            with --key
    data/
      ro-crate-metadata.json
      campaign.json ledger.jsonl results.tsv results.parquet progress.png
      program.md                  the brief that the campaign began with
      repo.bundle                 git bundle: branch autoresearch/<tag>, refs/experiments/*
      experiments/0007/           audit.json telemetry.parquet curve.parquet train.log, as far as there are
      best/                       train.py config.json record.json; model.safetensors with --with-weights
      recipe/                     images/ and harness/ of the checkout that built the image; data-manifest.json
      image/                      OCI layout, with --with-image
      transcripts/                with --with-transcripts

Never   trusts a byte of what it reads, and writes nothing outside a scratch folder
"""
