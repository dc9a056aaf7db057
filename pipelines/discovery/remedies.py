"""What to do next about a suspect, in a sentence or two, with the part of a spec where one helps."""

SCENE = (
    "Give each class the others' {}: method {{type: spurious_removal, superclass: WORD}}, where WORD is one word for what "
    "all classes are; where there is none, method {{type: subpopulation}}. Then compare the worst group's accuracy."
)
REMEDIES: dict[str, str] = {
    "background": SCENE.format("background"),
    "border": "Crop the border off, or paint over it, and look whether the mark is wanted; where it cannot be cropped: "
    + SCENE.format("border"),
    "colour": "Generate each class in the others' colours: method {type: text_to_image, superclass: WORD} with templates "
    "that name a {colour} and a list of words for it; or train with strong colour augmentation (the arm classical).",
    "position": "Crop images to their objects, or train with larger displacements (the arm classical); generating the "
    "objects elsewhere with method {type: spurious_removal, superclass: WORD, region: whole} changes it, too.",
    "compression": "Encode all images alike, at the lowest quality among them, before anything is trained or generated.",
    "blur": "Bring all images to one sharpness: shrink them to the size at which the least sharp ones are sharp.",
}
