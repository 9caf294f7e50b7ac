"""What is left of a night to look at and to send: pictures, and one page.

    writing     `lab report`: report.html, one file that needs nothing else
    fitting     what of the experiments' details has room in it
    card        card.png, to post
    drawing     the child process of a night that makes all of it

Owns    report.html, card.png and progress.png
Takes   a campaign's folder; reads only
Gives   files that are replaced in one step, the same bytes for the same records
Never   holds a night up, and says nothing of this host that the records do not
"""
