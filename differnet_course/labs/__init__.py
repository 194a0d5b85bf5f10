"""The checks of the labs' exercises; what a notebook calls is in `differnet_course.check`."""
