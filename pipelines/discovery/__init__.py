"""What a plain classifier leans on beside the object: attributes that come with the classes, exchanged between images."""
