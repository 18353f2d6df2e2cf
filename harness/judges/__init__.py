"""From a reply to its label: does it show the behavior, the opposite, or neither?"""
