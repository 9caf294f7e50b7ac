"""The one page that shows a Story: a file to send (lab/report) and a live page (lab/dashboard) alike.

    shell       the HTML around it, and which policy the browser must keep
    static/     its style and its program; vendor/ holds what others wrote, unchanged

Never   puts a text of a campaign into HTML: the page's program sets it as text
"""
