-- The land of every village.

basalt.load("village/styles")
return basalt.load("village/terrain")
