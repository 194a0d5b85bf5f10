"""From files to pixels: images of any kind, folders of them, data sets brought into the layout."""
